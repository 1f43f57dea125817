"""What is measured and drawn of a run after training: config values that an experiment lists under `finish`.

A finding is called with the finished `Run`; it writes pictures and results through the run's log. It may have a method
check(exp, source), called before training, which raises UserError for what it cannot do.
"""
