"""What stands around the shop: samples, a mail server, a web server, a visitor."""
