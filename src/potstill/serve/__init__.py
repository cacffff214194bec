"""The guided server: an OpenAI-compatible server in front of a student and its teacher."""
