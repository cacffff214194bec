"""``openai:`` models: any OpenAI-compatible server."""
