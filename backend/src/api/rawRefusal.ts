/** What is answered to bytes that could not be read as a request, or came too slowly. */

export function rawRefusal(error: NodeJS.ErrnoException): {
  readonly status: number;
  readonly reason: string;
  readonly code: string;
  readonly message: string;
} {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        reason: 'Request Header Fields Too Large',
        code: 'request.headers-too-large',
        message: 'The header of the request is too large.',
      };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: 408,
        reason: 'Request Timeout',
        code: 'request.timeout',
        message: 'The request did not arrive in time.',
      };
    default:
      return {
        status: 400,
        reason: 'Bad Request',
        code: 'request.malformed',
        message: 'This is not a well-formed HTTP request.',
      };
  }
}
