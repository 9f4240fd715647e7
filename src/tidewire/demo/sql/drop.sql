-- Purpose: makes room for a demo that other scripts make.
drop schema if exists tidewire_demo cascade
