"""Reading and comparing answers: final-answer markers, answer types, votes and mathematics."""
