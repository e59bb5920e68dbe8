//! Single sequences that a random one would hit too seldom.
