-- A join by key, because IN may scan a small table, and wait for rows that other workers have locked.
DELETE notice FROM JSON_TABLE(%(ids)s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS taken
STRAIGHT_JOIN offload_limitnotice AS notice FORCE INDEX (PRIMARY) ON notice.id = taken.id
