SELECT name, definition, override, loaded_at, seen_at FROM offload_limit
