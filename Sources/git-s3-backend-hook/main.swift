import Bridge
import Glibc

// git's pre-receive hook of every workspace. It is a program of its own because it runs in every
// push: it loads neither libcurl nor libcrypto.
exit(HookEnd.run())
