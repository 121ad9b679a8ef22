"""A page in the browser over any models.

`shelf` opens them, `uploads` reads what a visitor gives, `verbs` says what comes of it; `page` and `tabs` are
all that knows Gradio.
"""
