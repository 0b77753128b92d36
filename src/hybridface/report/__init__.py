"""Reports as one self-contained HTML file each: of a run, of several runs, of a study.

Needs matplotlib, jinja2 and scipy (the ``train`` extra); nothing else imports these modules when
the package is imported.
"""
