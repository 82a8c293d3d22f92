"""A local page on which people remove the pictures that show c2 or lack c1, as the paper does by hand (Sec. 5.1).

It shows one picture after another, those that fool the model first, and hides how the words were found: neither the
order, the addresses nor the pictures' own metadata tell.
"""
