"""What a person does by hand: pairs, refusals, messages set aside. Each word is one transaction, journalled."""
