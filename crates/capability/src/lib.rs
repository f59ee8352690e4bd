//! Linux capabilities: the five sets of a process, file capabilities, their text forms.
