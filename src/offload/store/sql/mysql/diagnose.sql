SHOW SESSION VARIABLES
WHERE Variable_name IN ('transaction_isolation', 'tx_isolation', 'wsrep_on', 'character_set_client')
