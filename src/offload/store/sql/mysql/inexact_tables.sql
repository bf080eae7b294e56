-- Shorter columns have only ids.
SELECT DISTINCT table_name FROM information_schema.columns
WHERE table_schema = DATABASE()
    AND table_name IN ('offload_attempt', 'offload_job', 'offload_worker')
    AND character_maximum_length > 36
    AND collation_name NOT IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')
ORDER BY table_name
