"""The tasks of the lessons: a file a lesson, ``TASKS`` in their order.

Functions that a student is to write stand first, as the solution shows them: at most ten lines, names that the lesson
has imported, and no type hints. Cases are made of the bundled data or of what tells misconceptions apart.
"""
