"""What a Home Assistant knows: its entities, areas and floors, and the grammar that names them."""
