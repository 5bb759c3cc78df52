import TestSupport
import Testing

// Being written on branch e2e2.
