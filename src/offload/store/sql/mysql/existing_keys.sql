SELECT limit_key FROM offload_limitkey FORCE INDEX (PRIMARY) WHERE limit_key IN %(limit_keys)s
