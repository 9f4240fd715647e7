-- Purpose: make the coming partitions of realtime.messages and drop the outlived ones.
select created, dropped from realtime.tidewire_maintain_messages()
