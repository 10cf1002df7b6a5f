//! What people see: data in, text out. Pure; colour is asked for by the caller.
