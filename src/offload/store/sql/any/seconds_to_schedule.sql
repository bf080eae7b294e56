SELECT {schedule_due.sql}
