import Testing

@testable import Gateway

/// A request's variables.
@Suite struct RequestTests {
    @Test(arguments: [
        ("", Request.ContentLength.unknown), ("0", .known(0)), ("17", .known(17)),
        ("007", .known(7)), ("9223372036854775807", .known(.max)),
        ("9223372036854775808", .invalid("9223372036854775808")), ("-1", .invalid("-1")),
        ("+1", .invalid("+1")), (" 1", .invalid(" 1")), ("1 ", .invalid("1 ")),
        ("1,1", .invalid("1,1")), ("0x10", .invalid("0x10")), ("1e3", .invalid("1e3")),
        ("١", .invalid("١")),
    ])
    func lengthIsDigitsOrNothing(text: String, expected: Request.ContentLength) {
        #expect(Request.with(["CONTENT_LENGTH": text]).contentLength == expected)
    }

    @Test func missingLengthIsUnknown() {
        #expect(Request.with([:]).contentLength == .unknown)
    }

    @Test(arguments: [
        ("version=2", true), ("version=1", true), ("version=2:future", true), ("", true),
        ("version=2\nGIT_X=1", false), ("version=2 x", false), ("\"", false),
        ("version=2\0", false), ("é", false), (String(repeating: "a", count: 256), true),
        (String(repeating: "a", count: 257), false), ("\u{7f}", false),
    ])
    func harmlessGitProtocolIsPassedOn(value: String, isTaken: Bool) {
        let request = Request.with(["HTTP_GIT_PROTOCOL": value])
        #expect(request.gitProtocol == (isTaken ? value : ""))
    }

    @Test func emptyUserIsNobody() {
        #expect(Request.with([:]).user == nil)
        #expect(Request.with(["REMOTE_USER": ""]).user == nil)
        #expect(Request.with(["REMOTE_USER": "a"]).user == "a")
        // A header that the web server passes on is not a variable that it vouches for.
        #expect(
            Request.with(["HTTP_REMOTE_USER": "a", "HTTP_AUTHORIZATION": "Basic eDp5"]).user == nil)
    }
}
