"""The doors out: what people at the browser see of jobs, and who may."""
