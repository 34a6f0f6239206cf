"""What an operator sees from outside: the admin endpoints."""
