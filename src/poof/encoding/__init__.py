"""How Python values, Pydantic models among them, become the JSON that is stored."""
