"""Alert definitions in the words of a monitoring page, and the rules and routes made of them."""
