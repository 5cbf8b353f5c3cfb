//! Shows what a payload's signature and events read as: for support and for judges. Nothing is fetched.
