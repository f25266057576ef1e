"""A session as others speak of it: generators of experiments (extra `gest`), DICOM (`dicom`)."""
