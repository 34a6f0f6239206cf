"""The pure decision: a click and the rules go in, Direct or Pass comes out (design §3). No I/O, no clock."""
