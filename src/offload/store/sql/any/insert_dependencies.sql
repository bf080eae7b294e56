INSERT INTO offload_dependency (child, parent, slot, position) VALUES (%s, %s, %s, %s)
