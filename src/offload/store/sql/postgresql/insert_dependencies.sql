INSERT INTO offload_dependency (child, parent, slot, position)
SELECT * FROM unnest(
    %(child)s::uuid[], %(parent)s::uuid[], %(slot)s::int[], %(position)s::int[]
)
