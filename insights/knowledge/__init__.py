"""Knowledge: documents become passages, and passages are found again. Pure over ports."""
