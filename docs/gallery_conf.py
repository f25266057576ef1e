"""Settings of the gallery that need Python."""

from mkdocs_gallery.sorting import FileNameSortKey

conf = {"within_subsection_order": FileNameSortKey}
