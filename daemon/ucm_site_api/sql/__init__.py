"""The registry's SQL, and the only place where there is any.

Every function runs inside a transaction that its caller opened, and leaves it open.
"""
