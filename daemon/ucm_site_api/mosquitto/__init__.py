"""mosquitto as the site's broker: set up once, then told of ended credentials and of clients with passwords.

Certificates need nothing but the revocation list: mosquitto takes the common name as user name and judges topics
by pattern. Passwords are clients of its dynamic security plugin, which is commanded over MQTT while it runs.
"""
