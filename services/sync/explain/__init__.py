"""What is known about a contact and why, told to a person (G4): reads everything, changes nothing."""
