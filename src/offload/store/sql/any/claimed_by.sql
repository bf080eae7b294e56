SELECT {claim_columns} FROM offload_job WHERE state = {RUNNING} AND worker = %(worker)s
