"""Charts of the atlas as SVG, drawn when a page is made: no script is needed to see them.

Colours and strokes are those of `static/atlas.css`, by class, so that charts follow the reader's light or dark theme.
"""
