SELECT {limited_due.sql}
