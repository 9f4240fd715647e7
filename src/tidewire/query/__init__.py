"""A request of the data API becomes SQL text with parameters; nothing here talks to Postgres or to a client."""
