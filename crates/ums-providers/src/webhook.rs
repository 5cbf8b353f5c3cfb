//! Posts notices to the user's application, to addresses that may be contacted only.
