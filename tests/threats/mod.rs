//! What meshfed must withstand, on real servers. Each test is named after its threat; those that need no server stand beside their rule.

mod account;
mod canary;
mod facts;
mod frozen;
mod input;
mod middle;
mod views;
mod webhook;
