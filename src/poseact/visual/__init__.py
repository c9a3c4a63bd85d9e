"""Pictures for people: `overlay` draws skeletons, `sheet` lays images out in a grid."""
