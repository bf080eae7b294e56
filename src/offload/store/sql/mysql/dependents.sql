SELECT parent, child, position < 0 FROM offload_dependency FORCE INDEX (offload_dependency_parent)
WHERE parent IN %(ids)s AND slot >= 0
