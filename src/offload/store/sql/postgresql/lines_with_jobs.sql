SELECT line FROM unnest(%(lines)s::text[]) AS line
LEFT JOIN offload_limitkey AS known ON known.limit_key = substr(line, 3)
WHERE EXISTS (
    SELECT FROM offload_job WHERE limit_slot = line AND (run_after, id) >= (
        coalesce(known.line_from, -9223372036854775808),
        coalesce(known.line_from_id, '00000000-0000-0000-0000-000000000000'::uuid)
    )
)
