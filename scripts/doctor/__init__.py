"""``domicile doctor``: what keeps a daemon from its work, and the mend; changes nothing, and works while it runs."""
