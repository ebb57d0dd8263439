"""The native engine: the generator in C++, for this machine's vector instructions."""
