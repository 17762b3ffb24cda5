"""Who makes the shards: processes of this machine, or actors on Ray."""
