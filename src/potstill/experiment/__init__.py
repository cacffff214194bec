"""Several trainings of one recipe, put together: what holds over runs and not for one alone.

A student trained again on other samples in another order is another student: three trainings of a
recipe gave 254, 200 and 157 right of 300, far apart for what their questions explain. So intervals
over the questions of one training, or over the pooled questions of several, say nothing of a
method. ``seeded_runs`` runs a recipe once a seed, ``run_results`` reads the runs,
``experiment_page`` writes the tables: intervals and tests are over runs.
"""
