"""A recipe at work: reads it, opens what it names, and calls the stages on one store.

``recipe`` composes the settings of all stages, ``names`` refuses names that collide, ``run`` opens
models and calls the stages; ``teachers``, ``guide_setup`` and ``student_likelihood`` prepare what
single stages need. ``regrade`` and ``grade_file`` grade again, and grade anybody's files.
"""
