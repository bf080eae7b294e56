-- The locks themselves stay until the end of the transaction. A join by key, because IN may scan a
-- small table, and wait for rows that other transactions have locked.
DELETE locked
FROM JSON_TABLE(%(keys)s, '$[*]' COLUMNS (
    unique_key VARCHAR(250) CHARACTER SET utf8mb4 PATH '$'
)) AS taken
STRAIGHT_JOIN offload_uniquelock AS locked FORCE INDEX (PRIMARY)
    ON locked.unique_key = taken.unique_key COLLATE {collation}
